"""Whether maps can be believed: do they depend on the model, say what matters to it, and stay where they are?"""

from harness.insight.trust.assess import MOST_EXPLAINED_AGAIN, MethodTrust, Trust, assess, assessments
from harness.insight.trust.faithfulness import BASELINES, STEPS, Curves, Faithfulness, area, difference
from harness.insight.trust.interval import Interval
from harness.insight.trust.sanity import HARDLY_CHANGED, Sanity, cascade

__all__ = [
    "BASELINES",
    "HARDLY_CHANGED",
    "MOST_EXPLAINED_AGAIN",
    "STEPS",
    "Curves",
    "Faithfulness",
    "Interval",
    "MethodTrust",
    "Sanity",
    "Trust",
    "area",
    "assess",
    "assessments",
    "cascade",
    "difference",
]
