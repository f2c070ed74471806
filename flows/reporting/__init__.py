"""What people and their tools see of runs: log, picture, report, history, metrics, traces."""
