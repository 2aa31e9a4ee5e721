"""Are alert and recording rules about series that exist? What no rule engine can know, because it lies in our registry.

`rules` reads files and says what is wrong, `expressions` walks one query, `series` says what may be selected. Whether a
file is a rule file at all is promtool's to say.
"""

from inquiry_svc.linting.rules import Complaint, lint_rules
from inquiry_svc.linting.series import external_series, own_series

__all__ = ["Complaint", "external_series", "lint_rules", "own_series"]
