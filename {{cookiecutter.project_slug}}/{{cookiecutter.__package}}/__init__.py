"""The six steps: hyperparameters, loaders, models, criterion and optimizer, train, visualize."""
