"""Which config is better: studies, statistics and the report."""
