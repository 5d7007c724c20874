"""What was made, as STAC: an Item of each picture, and a Collection of the items in a folder. Needs pystac."""
