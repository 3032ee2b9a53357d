"""What stands in annotation files, as columns: read, checked and written without pixels."""
