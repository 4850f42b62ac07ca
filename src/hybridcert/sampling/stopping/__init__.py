"""Stopping rules: when the copies of an input are enough."""

from hybridcert.sampling.stopping.fixed import EveryLook as EveryLook
from hybridcert.sampling.stopping.fixed import FixedSamples as FixedSamples
from hybridcert.sampling.stopping.looks import mixture_looks as mixture_looks
from hybridcert.sampling.stopping.looks import spending_looks as spending_looks
from hybridcert.sampling.stopping.rule import Outlook as Outlook
from hybridcert.sampling.stopping.rule import StoppingRule as StoppingRule
from hybridcert.sampling.stopping.rule import Verdict as Verdict
from hybridcert.sampling.stopping.sequential import GroupSequentialRule as GroupSequentialRule
from hybridcert.sampling.stopping.target import BudgetedTarget as BudgetedTarget
from hybridcert.sampling.stopping.tolerance import WithinTolerance as WithinTolerance
