"""What the template's launcher starts: the command itself, with the template's parameters as its flags."""

import sys

from pipelines.build_dataset import main
from stage.command_line import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
