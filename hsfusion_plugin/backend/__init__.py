"""The backend as QGIS sees it: settings, the local child process, the client that speaks with it or with a server
elsewhere.
"""
