"""Systems of the literature, a config each. They differ from configs/systems/base.py, and so from each other, in what
their modules say and in nothing else."""
