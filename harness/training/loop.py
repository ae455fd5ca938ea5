"""The loop, the same for one device, many replicas and many workers."""

from harness.training.session import Session


def train(session: Session) -> int:
    """Train to the end, the target or a signal. Returns the signal's number, 0 where there was none.

    Python runs only between chunks, and a chunk never crosses an event. Every worker runs every line: what one of
    them alone does, such as writing, was decided when the session was made.

    Raises NonFiniteLoss where a loss or gradient is not finite; the update of that step was not applied.
    """
    events = session.events
    signal = session.agree()
    while session.step < events.total_steps and not session.is_over() and not signal:
        session.train_chunk()
        if events.writes_histograms(session.step):
            session.write_histograms()
        if events.writes_maps(session.step):
            session.write_maps()
        if events.evaluates(session.step):
            session.evaluate()
        if events.calls_back(session.step):
            session.call_back()
        signal = session.agree()
        if events.saves(session.step) or session.save_is_due() or session.is_over() or signal:
            session.save()
    return signal
