"""Whether maps can be believed: do they depend on the model, say what matters to it, and stay where they are?"""

from harness.insight.trust.assess import MOST_EXPLAINED_AGAIN, MethodTrust, Trust, assess, assessments
from harness.insight.trust.beyond import AgainstBest, BeyondControls
from harness.insight.trust.class_sensitivity import ClassSensitivity, NotAsked
from harness.insight.trust.faithfulness import BASELINES, STEPS, Curves, Faithfulness, area, difference
from harness.insight.trust.interval import Answer, Interval, is_above, is_below
from harness.insight.trust.sanity import Kept, Sanity, cascade
from harness.insight.trust.stability import Stability

__all__ = [
    "BASELINES",
    "MOST_EXPLAINED_AGAIN",
    "STEPS",
    "AgainstBest",
    "Answer",
    "BeyondControls",
    "ClassSensitivity",
    "Curves",
    "Faithfulness",
    "Interval",
    "Kept",
    "MethodTrust",
    "NotAsked",
    "Sanity",
    "Stability",
    "Trust",
    "area",
    "assess",
    "assessments",
    "cascade",
    "difference",
    "is_above",
    "is_below",
]
