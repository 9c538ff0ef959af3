"""The published tables, from their data sets to figures.

- `spec`: what a `benchmark` protocol may say.
- `datasets/`: one file a data set; `load` chooses by the protocol.
- `task`: what the frames of a data set consist of, and its windows.
- `operator`: any network on the frames of a task.
- `training`: fits one to the windows of a task; `job` is one row with one seed, `pool` runs many.
- `table`, `figure`: rows beside the published ones.
- `run`: `benchmark`.
- `stress/`: `benchmark stress`, questions that the paper leaves open.
"""
