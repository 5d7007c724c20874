"""What the Process operator is made of: pictures, their tiles and mosaics, and the STAC Items beside them."""
