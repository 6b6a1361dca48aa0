"""The field that groups of sensors estimate, as maps."""

from __future__ import annotations

from mpidcl.views.base import Sheet, View
from mpidcl.views.field.maps import maps_of
from mpidcl.views.regression.numbers import ESTIMATES
from mpidcl.views.run import Run


class FieldView(View):
    """Truth, estimate and error, cell by cell."""

    name = "field"
    reads = (ESTIMATES,)

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.field.figures import field_maps

        found = maps_of(run)
        return [] if found is None else [Sheet.of("field", "The field", field_maps, found)]
