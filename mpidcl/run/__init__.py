"""The job: agents built from an experiment, driven, and written down."""
