"""The contract that every runner honours: optimizer, schedule, loss, stopping, metrics, trace."""
