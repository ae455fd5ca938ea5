"""Mirrors of metrics.jsonl in MLflow and Weights & Biases, one tracker's run for each run of ours.

A tracker can't take back what it was sent, and a resume cuts off the rows after the checkpoint that it begins from. So
a row is sent once a checkpoint has made it certain, and the curves of a tracker never fork. Whenever a mirror begins,
the tracker is asked what it has, and sent what it lacks: after a crash, or when it couldn't be reached.

Nothing that a tracker does ends a training. A failure is reported once, and the rows are sent with a later checkpoint,
or when the run is resumed, also a finished one.
"""
