"""Starting TensorFlow without its start-up messages."""

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow and look for devices; what it says meanwhile is shown only if that fails.

    It writes its first lines from C++ before any setting that could silence them is read.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            messages.seek(0)
            os.write(terminal, messages.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
