"""Editing of remembered rows: what they look like changes, to agree or to conflict with a direction."""
