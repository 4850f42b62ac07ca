"""Attacks on smoothed classifiers: searches within a budget, and what fresh copies say of their finds."""

from hybridcert.attacks.attacker import Attacker as Attacker
from hybridcert.attacks.budget import AttackBudget as AttackBudget
from hybridcert.attacks.budget import AttackSettings as AttackSettings
from hybridcert.attacks.changes import changes_within as changes_within
from hybridcert.attacks.judgement import Judgement as Judgement
from hybridcert.attacks.judgement import judge as judge
from hybridcert.attacks.judgement import samples_needed as samples_needed
from hybridcert.attacks.outcome import Attack as Attack
