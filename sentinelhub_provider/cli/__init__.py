"""The command line: ``python -m sentinelhub_provider``, and ``airflow sentinelhub`` from Airflow 3.2 on.

The commands execute the operators, so that they take the same arguments and send the same requests as tasks do.
"""
