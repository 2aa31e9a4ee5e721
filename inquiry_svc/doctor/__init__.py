"""`inquiry-svc doctor`: is the service well, and would somebody be told if it were not?

`surroundings` is what there is to look at, `checks` the list of what is looked at, in the order in which it is told of,
`routines` what the day, the week and the month add. A check is one function in the file of what it looks at; it takes
the surroundings and gives findings, each one line with its cure. `examining` runs them all at once.

It changes nothing, and what is not there is left out.
"""

from inquiry_svc.doctor.examining import Report, examine
from inquiry_svc.doctor.findings import Finding
from inquiry_svc.doctor.routines import ROUTINES
from inquiry_svc.doctor.surroundings import Wanted

__all__ = ["ROUTINES", "Finding", "Report", "Wanted", "examine"]
