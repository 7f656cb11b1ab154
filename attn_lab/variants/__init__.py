"""What came after the paper, as parts that drop in: rotary positions, ALiBi, grouped-query attention."""
