"""What people and their tools see of runs: log, pictures, report, history, metrics, traces."""
