"""What a certificate claims, beside the truth: error of the map, bounds of the distance and of the gap, and cost."""
