"""Which of the places that fit is best. One policy a file."""

from include.placement.policies.best_fit import BestFit
from include.placement.policies.fgd import FGD
from include.placement.policies.policy import Policy
from include.placement.policies.random_choice import Random
from include.placement.policies.spread import Spread
from include.placement.policies.updraft import Updraft

__all__ = ["FGD", "BestFit", "Policy", "Random", "Spread", "Updraft"]
