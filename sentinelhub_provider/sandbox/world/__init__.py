"""The imitated world behind the APIs, which is scenes, evalscripts and object storage."""
