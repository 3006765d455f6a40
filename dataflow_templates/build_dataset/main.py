"""What the template's launcher starts: the command itself, with the template's parameters as its flags."""

from pipelines.build_dataset import main
from stage.command_line import run_process

if __name__ == "__main__":
    run_process(main)
