"""Train an image-classification CNN with TensorFlow on one device, all GPUs of a machine or many machines.

    import harness

    run = harness.train("mnist", **{"train.length": "1 epoch"})  # keywords are what --set takes
    run.path, run.read_summary()["test"], run.read_metrics()

    harness.evaluate(run, "validation")
    harness.visualize(run)  # report.html, with what the model looks at
    print(harness.compare(run, "latest"))  # what differs, which is better

Pass your own parts in the same way, without changing the package:

    harness.train(
        "mnist",
        model=my_model,  # (image_shape, classes) → keras.Model, from pixels to logits
        data=my_arrays,  # or a function that returns them
        loss=my_loss,  # (logits, labels) → one number per example
        metrics={"mine": my_metric},  # like a loss
        augment=[{"name": "flip"}, my_augmentation],  # (images, random) → images
        optimizer=keras.optimizers.Nadam(0.002),
        callbacks=[MyCallback()],  # harness.Callback, or a function (step, state, rows)
    )

train, evaluate, visualize, compare     the commands of these names
RunDir                                  a run's directory: its files, rows and summary
Config                                  every key of a config, typed
Callback                                something of yours that is called between steps
augment                                 what can be done to training images, as functions
errors                                  the exceptions that they raise, as a tree

They work in a thread, in a notebook, and again in the same process, with another model or another number of replicas.
TensorFlow fixes the number of logical devices (`cluster.logical_cpus`, `cluster.logical_gpus`) once per process;
everything else can change. It is imported when the first of these names that needs it is used, and keeps the seed and
the determinism of the last training; Python's and NumPy's random numbers are left alone.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness import errors, keras_settings

if TYPE_CHECKING:
    from harness.comparison.compare import compare
    from harness.config import Config
    from harness.data import augment
    from harness.job import evaluate, train
    from harness.report import visualize
    from harness.runs.run_dir import RunDir
    from harness.training.callback import Callback

__all__ = ["Callback", "Config", "RunDir", "augment", "compare", "errors", "evaluate", "train", "visualize"]

_LIGHT = {"Config": "harness.config", "RunDir": "harness.runs.run_dir"}
_ON_TENSORFLOW = {
    "Callback": "harness.training.callback",
    "compare": "harness.comparison.compare",
    "evaluate": "harness.job",
    "train": "harness.job",
    "visualize": "harness.report",
}
_MODULES = {"augment": "harness.data.augment"}

keras_settings.override_environment()  # before anything here, or its user, imports Keras


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import harness` and `harness --help` stay free of TensorFlow.
    module = (_LIGHT | _ON_TENSORFLOW | _MODULES).get(name)
    if module is None:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    if name not in _LIGHT:
        from harness.console import tensorflow_lines

        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # a script or notebook has no log for TensorFlow's own lines
        with tensorflow_lines.kept_out():
            keras_settings.import_keras()  # tells a setting that it can't be imported with
            import tensorflow as tf

            tf.config.list_physical_devices()
            found = import_module(module)
    else:
        found = import_module(module)
    return found if name in _MODULES else getattr(found, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
