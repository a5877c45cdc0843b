"""The papers' claims on data of a size that anyone can train: tables of configs, their runs, the page of figures."""
