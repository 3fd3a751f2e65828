"""What every training needs: checkpoints, samplers, devices, run directories, settings."""
