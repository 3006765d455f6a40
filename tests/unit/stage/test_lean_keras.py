"""What a command's process holds once Keras is imported, and what it may import after that."""

import subprocess
import sys

COMMAND = """
import sys
from stage.command_line import run_command

def body(argv):
    import keras
    print(sorted({"sklearn", "matplotlib", "tensorflow"} & set(sys.modules)))
    from matplotlib import pyplot
    from sklearn.manifold import TSNE
    print(pyplot.figure.__name__, TSNE.__name__, keras.layers.Dense.__name__)

sys.exit(run_command(body, []))
"""


def test_keras_comes_without_what_it_has_no_need_of_and_others_get_it() -> None:
    found = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True, check=False)
    assert found.stdout.splitlines() == ["['tensorflow']", "figure TSNE Dense"], found.stderr
