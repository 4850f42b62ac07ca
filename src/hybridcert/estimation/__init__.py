"""From a question and an error probability to copies drawn and bounds on scores (``docs/sequential.md``)."""

from hybridcert.estimation.choice import estimate as estimate
from hybridcert.estimation.question import Bound as Bound
from hybridcert.estimation.question import Question as Question
from hybridcert.estimation.question import Stopping as Stopping
