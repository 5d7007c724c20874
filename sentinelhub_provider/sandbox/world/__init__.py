"""The imitated world behind the APIs: scenes, evalscripts, object storage."""
