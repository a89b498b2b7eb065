"""The same, for events that nobody can come back to."""

from functools import partial

from relays.harness import run
from relays.ours import opened

if __name__ == "__main__":
    run(partial(opened, keep=False))
