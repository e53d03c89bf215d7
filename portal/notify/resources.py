"""REST: notices, warnings, warning rules, legal entities, working days, number series."""

from portal.kernel.company import NumberSeries, WorkingDay
from portal.kernel.document import LegalEntity
from portal.notify.models import Notice, Warning_, WarningRule
from portal.notify.screens.warnings import WarningRules, Warnings
from portal.web.resource import Resource


class NoticeResource(Resource, model=Notice):
    """The caller's own notices."""

    resource_name = "notices"
    verbs = ("view",)


class WarningResource(Resource, model=Warning_):
    """Warnings the caller sees."""

    resource_name = "warnings"
    verbs = ("view", "export")
    computed = Warnings.computed
    filters = Warnings.filters
    search_columns = ("subject",)
    order = ("raised_at", "desc")


class WarningRuleResource(Resource, model=WarningRule):
    """Rules with parameters, scope, receivers and quiet hours."""

    resource_name = "warning-rules"
    add_columns = ("code", *WarningRules.edit_columns)
    edit_columns = WarningRules.edit_columns
    order = ("code", "asc")


class LegalEntityResource(Resource, model=LegalEntity):
    """The companies of the group; they are never archived, as documents belong to them."""

    resource_name = "legal-entities"
    verbs = ("view", "add", "edit", "export")
    order = ("code", "asc")


class WorkingDayResource(Resource, model=WorkingDay):
    """Days that differ from the statutory calendar."""

    resource_name = "working-days"
    order = ("day", "desc")


class NumberSeriesResource(Resource, model=NumberSeries):
    """Patterns of document numbers."""

    resource_name = "number-series"
    order = ("code", "asc")
