"""A new model in minutes: a look at its file of data, what is proposed from it, and the folder that becomes a model."""
