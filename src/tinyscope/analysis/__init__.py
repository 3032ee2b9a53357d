"""Why the numbers are what they are: what was found, missed and false, in pictures."""
