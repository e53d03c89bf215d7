"""Pages of daily reports. Importing it registers them."""

from modules.dailyreport.screens import confirmations as confirmations
from modules.dailyreport.screens import home as home
from modules.dailyreport.screens import lists as lists
from modules.dailyreport.screens import my_report as my_report
from modules.dailyreport.screens import project_hours as project_hours
from modules.dailyreport.screens import project_slots as project_slots
from modules.dailyreport.screens import statistics as statistics
from modules.dailyreport.screens import team_board as team_board
