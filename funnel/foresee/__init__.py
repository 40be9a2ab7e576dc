"""The commands that look ahead, and the one that looks back."""

from funnel.foresee.outlook import forecast_command
from funnel.foresee.plan import calendar_command
from funnel.foresee.simulation import simulate_command
from funnel.foresee.story import why_command

COMMANDS = (calendar_command, simulate_command, forecast_command, why_command)
