"""The imitated world behind the APIs. It has scenes, evalscripts and object storage."""
