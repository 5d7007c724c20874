"""What is imitated behind the APIs: scenes, evalscripts, object storage."""
