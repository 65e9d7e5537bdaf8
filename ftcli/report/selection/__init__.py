"""What a report says of picks: another rule's, the results of each, the tables."""
