"""`inquiry-svc model ...`: the registry of models in the data folder. One command, one file."""

from __future__ import annotations

import click

from inquiry_svc.cli.evaluate import evaluate
from inquiry_svc.cli.model.diff import diff
from inquiry_svc.cli.model.listing import listing
from inquiry_svc.cli.model.promote import promote
from inquiry_svc.cli.model.rollback import rollback
from inquiry_svc.cli.model.train import train

model = click.Group("model", help="Models: made, judged, put in charge and taken down. A running service follows.")
for _command in (listing, train, evaluate, promote, rollback, diff):
    model.add_command(_command)
