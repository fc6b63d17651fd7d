"""Finished networks taken out of their study: predictions for other images, and files for other programs."""
