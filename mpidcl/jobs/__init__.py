"""Job scripts: what PBS and Slurm get for an experiment, each one file that needs no other.

A script is directives and values of one site (`sites`, `plan`), followed by text that is the same in all of
them (`templates`); `script` puts it together. `pbs/` and `slurm/` hold what it writes for examples.
"""
