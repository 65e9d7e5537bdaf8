"""What a set gets besides its figures: classes, confusions, estimates."""
