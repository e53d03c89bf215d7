"""What people and jobs do to daily reports. Importing it declares every transition."""

from modules.dailyreport.actions import deciding as deciding
from modules.dailyreport.actions import handover as handover
from modules.dailyreport.actions import remarks as remarks
from modules.dailyreport.actions import writing as writing
