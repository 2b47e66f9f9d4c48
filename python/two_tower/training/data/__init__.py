"""What training reads: the data set, its batches, the validation fold."""
